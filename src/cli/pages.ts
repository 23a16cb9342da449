import { defined } from '../lib/defined.ts';

/** The largest page that the server gives. */
const pageSize = 1000;

/** A list page after page, to its end. `last` is the page that was read last. */
export async function everyPage<Page extends { nextPageToken?: string | undefined }>(
  read: (page: { pageSize: number; pageToken?: string }) => Promise<Page>,
): Promise<{ pages: Page[]; last: Page }> {
  let last = await read({ pageSize });
  const pages = [last];
  while (last.nextPageToken !== undefined) {
    last = await read({ pageSize, ...defined({ pageToken: last.nextPageToken }) });
    pages.push(last);
  }
  return { pages, last };
}
