import { invalidField, ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { idForm, newId } from '../../lib/ids.ts';
import { keyBefore, pageOf } from '../../lib/page.ts';
import { isStorable } from '../../lib/text.ts';
import {
  type CountedWebhookRow,
  deleteWebhook,
  findWebhook,
  insertWebhook,
  listDeadLetters,
  listWebhooks,
  retryDead,
  type WebhookRow,
} from '../../storage/alert-deliveries.ts';
import type { Database } from '../../storage/database.ts';
import type { AlertService, Attempt, Webhook, WebhookFilter } from '../types.ts';
import { send, targetProblem } from './send.ts';
import { newSecret, secretKey, signedHeaders } from './signature.ts';

/** Where messages go, and what was given up. */

/** Seals the secrets of webhooks; what a copy of the database lacks. */
export interface SecretBox {
  seal(context: string, content: Uint8Array): Uint8Array;
  /** Undefined where it was not sealed here in this context. */
  open(context: string, sealed: Uint8Array): Uint8Array | undefined;
}

export type WebhookService = Pick<
  AlertService,
  'listWebhooks' | 'addWebhook' | 'removeWebhook' | 'testWebhook' | 'listDeadLetters' | 'retryDeadLetters'
>;

export interface WebhooksDeps {
  database: Database;
  box: SecretBox;
  clock: Pick<Clock, 'now'>;
  /** Whether http is allowed anywhere. */
  clearText: boolean;
  /** Something waits. */
  wake(): void;
}

export const maximumWebhooks = 100;

export function createWebhooks(deps: WebhooksDeps): WebhookService {
  const { database, box, clock, clearText, wake } = deps;
  const { query } = database;

  async function webhookAt(name: string): Promise<WebhookRow> {
    const row = isStorable(name) ? await findWebhook(query, name) : undefined;
    if (row === undefined) throw unknownWebhook(name);
    return row;
  }

  return {
    async listWebhooks(page) {
      const rows = await listWebhooks(query, keyBefore(page), page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, ({ name }) => name);
      return { items: items.map(webhookOf), nextToken };
    },

    async addWebhook(actor, { name, url, filter = {}, secret = newSecret() }) {
      const problem = targetProblem(url, clearText);
      if (problem !== undefined) throw invalidField('url', problem);
      if (secretKey(secret) === undefined)
        throw invalidField('secret', 'must be whsec_ and base64 of 24 to 64 bytes');
      const facts = { name, webhookId: newId(), url: new URL(url).href };
      const row = {
        ...facts,
        sealedSecret: box.seal(contextOf(facts), Buffer.from(secret)),
        filter,
        createdBy: actor,
        createdAt: new Date(clock.now()),
      };
      if (!(await insertWebhook(query, row, maximumWebhooks))) {
        if ((await findWebhook(query, name)) !== undefined)
          throw new ViworksError('webhook_exists', `There is a webhook ${name} already.`, {
            fields: [{ field: 'name', problem: 'is taken' }],
          });
        throw new ViworksError('queue_full', `There may be ${maximumWebhooks} webhooks, and there are.`);
      }
      return { webhook: webhookOf({ ...row, waiting: 0, dead: 0 }), secret };
    },

    async removeWebhook(name) {
      if (!(await deleteWebhook(query, name))) throw unknownWebhook(name);
    },

    async testWebhook(name) {
      const now = clock.now();
      const id = newId();
      const summary = 'This is a test of the webhook; nothing is wrong.';
      const body = JSON.stringify({ type: 'test', id, createdAt: new Date(now).toISOString(), summary });
      return post(await webhookAt(name), box, { id, body, at: now, clearText });
    },

    async listDeadLetters(webhook, page) {
      if (webhook !== undefined) await webhookAt(webhook);
      const rows = await listDeadLetters(query, webhook, keyBefore(page, idForm), page.size + 1);
      const { items, nextToken } = pageOf(rows, page.size, ({ deliveryId }) => deliveryId);
      return { items: items.map((row) => ({ ...row, lastError: row.lastError ?? '' })), nextToken };
    },

    async retryDeadLetters(of) {
      if ('webhook' in of) await webhookAt(of.webhook);
      const count = await retryDead(query, of, new Date(clock.now()));
      if (count === 0 && 'deliveryId' in of)
        throw new ViworksError('dead_letter_unknown', `There is no dead letter ${of.deliveryId}.`);
      wake();
      return count;
    },
  };
}

/** Signs a message and sends it once. Never throws. */
export async function post(
  webhook: WebhookRow,
  box: Pick<SecretBox, 'open'>,
  message: { id: string; body: string; at: number; clearText: boolean; signal?: AbortSignal },
): Promise<Attempt> {
  const { url } = webhook;
  const secret = box.open(contextOf(webhook), webhook.sealedSecret);
  const key = secret && secretKey(Buffer.from(secret).toString('utf8'));
  const refused = (error: string) => ({ delivered: false, status: undefined, error, milliseconds: 0 });
  if (key === undefined) return refused('it was not saved here, or altered since: remove it and add it anew');
  const problem = targetProblem(url, message.clearText);
  if (problem !== undefined) return refused(`the url ${problem}`);
  return send(url, signedHeaders(key, message.id, message.at, message.body), message.body, message.signal);
}

/** A secret opens for the address that it was saved for, and for no other that somebody wrote into the database. */
const contextOf = ({ webhookId, name, url }: Pick<WebhookRow, 'webhookId' | 'name' | 'url'>): string =>
  JSON.stringify(['alert-webhook', webhookId, name, url]);

const unknownWebhook = (name: string) =>
  new ViworksError('webhook_unknown', `There is no webhook ${JSON.stringify(name)}.`);

const webhookOf = ({
  name,
  url,
  filter,
  createdBy,
  createdAt,
  waiting,
  dead,
}: CountedWebhookRow): Webhook => ({
  name,
  url,
  filter: filter as WebhookFilter,
  createdBy,
  createdAt,
  waiting,
  dead,
});
