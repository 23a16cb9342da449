import { describe, expect, test } from 'vitest';
import { ViworksError } from '../../src/errors.ts';
import { wireLimits } from '../../src/protocol/limits.ts';
import { makeCertificate } from '../support/tls-certificate.ts';
import { clientKinds } from '../support/transport-clients.ts';
import { numbered, sequences, sized, startServer } from '../support/transport-server.ts';

/** The same promises for every client on every transport, in clear text and with TLS. */

const count = 10_000;
const upTo = Array.from({ length: count }, (_, index) => index + 1);
const certificate = await makeCertificate();

describe.for([
  { channel: 'clear text', tls: undefined },
  { channel: 'TLS', tls: certificate },
])('$channel', ({ tls }) => {
  describe.for(clientKinds)('$name', (kind) => {
    test('envelopes arrive in order, both ways at once', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      for (const sequence of upTo) {
        connection.send(numbered(sequence));
        if (sequence > 1) client.send(numbered(sequence));
      }
      const [received, returned] = await Promise.all([inbox.atLeast(count), client.received(count)]);
      expect(sequences(received)).toEqual(upTo);
      expect(sequences(returned)).toEqual(upTo);
      expect(connection.peer).toMatchObject({
        transport: kind.transport,
        remoteAddress: '127.0.0.1',
        tls: tls !== undefined,
      });
      client.close();
      expect(await inbox.closed).toBeUndefined();
      expect(await client.closed).toBeUndefined();
    });

    test('the server ends in order behind what it sent', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      await inbox.atLeast(1);
      for (let sequence = 1; sequence <= 100; sequence++) connection.send(numbered(sequence));
      connection.close();
      connection.send(numbered(101));
      connection.close(new ViworksError('internal', 'too late to be told'));
      expect(await client.received(100)).toHaveLength(100);
      expect(await client.closed).toBeUndefined();
      expect(await inbox.closed).toBeUndefined();
      expect(inbox.closes).toHaveLength(1);
    });

    test("an error reaches the client in the transport's own form, behind what was sent", async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      await inbox.atLeast(1);
      connection.send(numbered(7));
      connection.close(new ViworksError('superseded', 'Another session took over: 100 % “sure”.'));
      expect(await client.closed).toBe('superseded');
      expect(sequences(await client.received(1))).toEqual([7]);
      expect(await inbox.closed).toBeUndefined();
      expect(inbox.closes).toHaveLength(1);
    });

    test('the client ends in order: told once, without an error', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      client.close();
      const { inbox } = await server.next();
      expect(await inbox.closed).toBeUndefined();
      expect(sequences(inbox.envelopes)).toEqual([1]);
      expect(await client.closed).toBeUndefined();
      expect(inbox.closes).toHaveLength(1);
    });

    test('the client breaks off: told once, as lost', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      await inbox.atLeast(1);
      client.destroy();
      const told = await inbox.closed;
      // The official clients end their side before they reset the stream, and the reset may come too late.
      if (kind.name.startsWith('our')) expect(told?.code).toBe('connection_lost');
      connection.send(numbered(1));
      connection.close();
      connection.destroy();
      await client.closed;
      expect(inbox.closes).toHaveLength(1);
    });

    test('the server breaks off: both are told', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      await inbox.atLeast(1);
      connection.destroy();
      expect(await inbox.closed).toBeUndefined();
      expect(await client.closed).toBeDefined();
      expect(inbox.closes).toHaveLength(1);
    });

    test('a paused connection can be destroyed, and closed', async () => {
      await using server = await startServer({ tls });
      for (const end of ['destroy', 'close'] as const) {
        const client = await kind.dial(server);
        client.send(numbered(1));
        const { connection, inbox } = await server.next();
        await inbox.atLeast(1);
        connection.pause();
        client.send(numbered(2));
        connection[end]();
        expect(await inbox.closed).toBeUndefined();
        await client.closed;
        expect(inbox.closes).toHaveLength(1);
      }
    });

    test('a message over the limit ends its connection alone', async () => {
      await using server = await startServer({ tls });
      const other = await kind.dial(server);
      other.send(numbered(1));
      const otherAccepted = await server.next();
      const oversized = await kind.dial(server);
      oversized.send(numbered(1));
      const { inbox } = await server.next();
      await inbox.atLeast(1);
      const envelope = sized(wireLimits.messageBytes + 1);
      if (kind.name.startsWith('our')) {
        expect(() => oversized.send(envelope)).toThrow('over the limit');
        oversized.close();
        await oversized.closed;
      } else {
        oversized.send(envelope);
        expect((await inbox.closed)?.code).toBe('message_too_large');
        expect(await oversized.closed).toBe('message_too_large');
      }
      otherAccepted.connection.send(numbered(2));
      expect(sequences(await other.received(1))).toEqual([2]);
      other.close();
      await other.closed;
    });

    test('a paused connection delivers nothing, and everything once it is resumed', async () => {
      await using server = await startServer({ tls });
      const client = await kind.dial(server);
      client.send(numbered(1));
      const { connection, inbox } = await server.next();
      await inbox.atLeast(1);
      connection.pause();
      for (let sequence = 2; sequence <= 500; sequence++) client.send(numbered(sequence));
      // A round trip of a second connection shows that the server had its turns since.
      const second = await kind.dial(server);
      second.send(numbered(1));
      const other = await server.next();
      await other.inbox.atLeast(1);
      other.connection.send(numbered(1));
      await second.received(1);
      expect(inbox.envelopes).toHaveLength(1);
      connection.resume();
      expect(sequences(await inbox.atLeast(500))).toEqual(upTo.slice(0, 500));
      client.close();
      second.close();
      await Promise.all([client.closed, second.closed, inbox.closed, other.inbox.closed]);
    });
  });
});
