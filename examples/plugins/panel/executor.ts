// Outside of this repository: from 'viworks/plugin'.
import type { PluginContext, PluginExecutor, PluginOutcome } from '../../../src/agent/plugin.ts';

/**
 * Users of a hosting panel with an HTTP API (panel-server.ts is one to try it with). The agent's environment
 * says where it is (PANEL_URL) and how to get in (PANEL_TOKEN): a token has no place in the args of a command,
 * which are stored and shown.
 */

const { PANEL_URL: url = '', PANEL_TOKEN: token = '' } = process.env;

type Answer = { status: number; body: unknown } | { failure: NonNullable<PluginOutcome['failure']> };

async function call(context: PluginContext, method: string, path: string, body?: object): Promise<Answer> {
  try {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
      signal: context.signal,
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  } catch (err) {
    context.log.warn({ err }, 'the panel does not answer');
    return { failure: { code: 'unavailable', message: 'The panel does not answer.' } };
  }
}

const refused = (status: number) =>
  status === 401 || status === 403
    ? { code: 'permission_denied', message: 'The panel does not take the token of PANEL_TOKEN.' }
    : { code: 'panel_error', message: `The panel answers with status ${status}.` };

type User = { username: string; email: string; plan: string; domains?: string[] };

const createUser: PluginExecutor<User, { id: number; username: string }> = async (user, context) => {
  const answer = await call(context, 'POST', '/api/users', user);
  if ('failure' in answer) return answer;
  if (answer.status === 409)
    return { failure: { code: 'already_exists', message: `There is a user ${user.username} already.` } };
  if (answer.status !== 201) return { failure: refused(answer.status) };
  // The agent holds it to the schema of the result.
  return { output: answer.body as { id: number; username: string } };
};

const deleteUser: PluginExecutor<Pick<User, 'username'>, { deleted: boolean }> = async (
  { username },
  context,
) => {
  const answer = await call(context, 'DELETE', `/api/users/${encodeURIComponent(username)}`);
  if ('failure' in answer) return answer;
  if (answer.status !== 204 && answer.status !== 404) return { failure: refused(answer.status) };
  return { output: { deleted: answer.status === 204 } };
};

export const verbs = 'verbs.json';
export const executors = { 'panel.user.create': createUser, 'panel.user.delete': deleteUser };
/** Announced only where a panel is configured. */
export const available = () => URL.canParse(url);
