/**
 * What an application in TypeScript imports as `viworks/client`: the types of the API, and an EventSource that
 * sends the token. See examples/backend-app.ts.
 */
export type { ErrorData } from './errors.ts';
export { HeaderEventSource, type HeaderEventSourceInit } from './event-source.ts';
export type { AppInputs, AppOutputs, AppRouter } from './trpc/router.ts';
export * from './verb-args.ts';
