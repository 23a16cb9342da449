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
export function templatesRouter() {
  return router({
    list: procedure
      .input(listTemplatesInput)
      .output(listTemplatesOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.templates.list(pageRequest(input));
        return { templates: page.items.map(templateView), nextPageToken: page.nextToken };
      }),

    get: procedure
      .input(getTemplateInput)
      .output(templateOutput)
      .query(async ({ ctx, input }) => ({
        template: templateView(await ctx.core.templates.get(input.name)),
      })),

    /** Tries the template with example values, and stores it. */
    save: procedure
      .input(saveTemplateInput)
      .output(templateOutput)
      .mutation(async ({ ctx, input: { revision, ...template } }) => {
        return {
          template: templateView(await ctx.core.templates.save(ctx.actor.subject, template, revision)),
        };
      }),

    delete: procedure
      .input(deleteTemplateInput)
      .output(deleteOutput)
      .mutation(async ({ ctx, input }) => {
        await ctx.core.templates.delete(input.name, input.revision);
        return {};
      }),

    /** What `run` would submit. */
    render: procedure
      .input(renderTemplateInput)
      .output(renderTemplateOutput)
      .query(async ({ ctx, input: { name, ...use } }) => {
        return { command: draftView(await ctx.core.templates.render(name, use)) };
      }),

    /** Submits the command that the template makes of the values. */
    run: procedure
      .input(runTemplateInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { name, params, target, ...options } }) => {
        const { subject } = ctx.actor;
        return {
          command: commandView(await ctx.core.templates.run(subject, name, { params, target }, options)),
        };
      }),
  });
}
