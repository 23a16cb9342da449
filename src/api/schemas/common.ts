import { z } from 'zod';
import { defaultPageSize, maximumPageSize, type PageRequest } from '../../lib/page.ts';

/** The pieces that several schemas of the API share. Objects are strict: a misspelt field is an error. */

export const agentIdSchema = z.string().regex(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/, {
  error:
    'must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and begin and end with a-z or 0-9',
});
export const siteSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, {
  error: 'must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and begin with a-z or 0-9',
});
type Labels = Record<string, string>;
const mostLabels = 64;

/** Counted before they are looked at: to say what is wrong with each of very many takes long. */
export const labelsSchema = z
  .record(z.string(), z.unknown())
  .refine((labels) => Object.keys(labels).length <= mostLabels, {
    error: `must be at most ${mostLabels} labels`,
  })
  .pipe(
    z.record(
      z.string().regex(/^[a-z0-9][a-z0-9._/-]{0,62}$/, {
        error: 'a label’s name has 1 to 63 characters of a-z, 0-9, dot, underscore, slash and hyphen',
      }),
      z.string().max(255),
    ),
  ) as z.ZodType<Labels, Labels>;
export const commandIdSchema = z.uuid({ error: 'must be the id of a command, a UUID' });
export const reasonSchema = z.string().max(255);

/** A JSON object, for verb args, results and telemetry. */
export const jsonObjectSchema = z.record(z.string(), z.json());

/** A time in ISO 8601, UTC. */
export const timeSchema = z.iso.datetime();
export const countSchema = z.int().nonnegative();

export const pageInput = {
  pageSize: z.int().min(1).max(maximumPageSize).default(defaultPageSize),
  /** `nextPageToken` of the page before. */
  pageToken: z.string().max(512).optional(),
};

export function pageRequest(input: { pageSize: number; pageToken?: string | undefined }): PageRequest {
  return { size: input.pageSize, token: input.pageToken };
}

/** Of several values any. Absent: all. */
export const anyOf = <T extends z.ZodType>(item: T, most = 1000) =>
  z.array(item).min(1, { error: 'must have at least one value' }).max(most).optional();

/** Absent on the last page. */
export const nextPageToken = z.string().optional();

export const timeView = (date: Date): string => date.toISOString();
export const optionalTimeView = (date: Date | undefined): string | undefined => date?.toISOString();
