import type { ApiDeps } from '../deps.ts';
import { commandOutput, commandView } from '../schemas/commands.ts';
import { pageRequest } from '../schemas/common.ts';
import {
  deleteOutput,
  deleteTemplateInput,
  draftView,
  getTemplateInput,
  listTemplatesInput,
  listTemplatesOutput,
  renderTemplateInput,
  renderTemplateOutput,
  runTemplateInput,
  saveTemplateInput,
  templateOutput,
  templateView,
} from '../schemas/templates.ts';
import { procedure, router } from './trpc.ts';

/** Commands with parameters, kept under a name. */
export function templatesRouter({ templates }: Pick<ApiDeps, 'templates'>) {
  return router({
    list: procedure
      .input(listTemplatesInput)
      .output(listTemplatesOutput)
      .query(async ({ input }) => {
        const page = await templates.list(pageRequest(input));
        return { templates: page.items.map(templateView), nextPageToken: page.nextToken };
      }),

    get: procedure
      .input(getTemplateInput)
      .output(templateOutput)
      .query(async ({ input }) => ({ template: templateView(await templates.get(input.name)) })),

    /** Tries the template with example values, and stores it. */
    save: procedure
      .input(saveTemplateInput)
      .output(templateOutput)
      .mutation(async ({ ctx, input: { revision, ...template } }) => {
        return { template: templateView(await templates.save(ctx.actor.subject, template, revision)) };
      }),

    delete: procedure
      .input(deleteTemplateInput)
      .output(deleteOutput)
      .mutation(async ({ input }) => {
        await templates.delete(input.name, input.revision);
        return {};
      }),

    /** What `run` would submit. */
    render: procedure
      .input(renderTemplateInput)
      .output(renderTemplateOutput)
      .query(async ({ input: { name, ...use } }) => {
        return { command: draftView(await templates.render(name, use)) };
      }),

    /** Submits the command that the template makes of the values. */
    run: procedure
      .input(runTemplateInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { name, params, target, ...options } }) => {
        const { subject } = ctx.actor;
        return { command: commandView(await templates.run(subject, name, { params, target }, options)) };
      }),
  });
}
