import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { HelloOfferSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';

/**
 * Offers of those who have not proved yet who they are. What they cost is bounded: nothing is read of them that is of
 * use only after the proof, and all together they have so many bytes and no more.
 */
export interface WaitingOffers {
  /** @returns gives the room back, once however often it is called @throws unavailable where there is no room */
  hold(bytes: number): () => void;
}

export function createWaitingOffers(mostBytes: number): WaitingOffers {
  let held = 0;
  return {
    hold(bytes) {
      if (held + bytes > mostBytes)
        throw new ViworksError('unavailable', 'Too many agents are shaking hands at this moment.', {
          retryAfterMs: 1000,
        });
      held += bytes;
      let given = false;
      return () => {
        if (!given) held -= bytes;
        given = true;
      };
    },
  };
}

const account = HelloOfferSchema.field.executions.number;

/**
 * The offer without the executions that its agent says it has, which are nearly all of a long one.
 * @throws Error where it is not a serialised message
 */
export function withoutAccount(offer: Uint8Array): Uint8Array {
  const reader = new BinaryReader(offer);
  const parts: Uint8Array[] = [];
  let from = 0;
  while (reader.pos < reader.len) {
    const at = reader.pos;
    const [field, type] = reader.tag();
    reader.skip(type, field);
    if (field !== account || type !== WireType.LengthDelimited) continue;
    parts.push(offer.subarray(from, at));
    from = reader.pos;
  }
  return from === 0 ? offer : new Uint8Array(Buffer.concat([...parts, offer.subarray(from)]));
}
