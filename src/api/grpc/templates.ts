import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { invalidRequest } from '../schemas/problems.ts';
import { renderTemplateInput, runTemplateInput, saveTemplateInput } from '../schemas/templates.ts';
import { commandMessage, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import { readTarget, specField, withFieldsNamed } from './submit.ts';
import { draftMessage, readTemplate, templateField, templateMessage } from './template-convert.ts';

/** The methods of ControlService for templates. */
export function templateMethods({ unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listTemplates: unary(method.listTemplates, async (request, { core }) => {
      const page = await core.templates.list(pageRequest(request));
      return { templates: page.items.map(templateMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getTemplate: unary(method.getTemplate, async ({ name }, { core }) => {
      return { template: templateMessage(await core.templates.get(name)) };
    }),

    saveTemplate: unary(method.saveTemplate, async ({ spec, revision: given }, { actor, core }) => {
      try {
        const parsed = saveTemplateInput.safeParse(readTemplate(spec, given));
        if (!parsed.success) throw invalidRequest(parsed.error);
        const { revision, ...template } = parsed.data;
        return { template: templateMessage(await core.templates.save(actor.subject, template, revision)) };
      } catch (thrown) {
        throw withFieldsNamed(thrown, templateField);
      }
    }),

    deleteTemplate: unary(method.deleteTemplate, async ({ name, revision }, { core }) => {
      await core.templates.delete(name, revision || undefined);
      return {};
    }),

    renderTemplate: unary(method.renderTemplate, async ({ name, params, target }, { core }) => {
      try {
        const parsed = renderTemplateInput.safeParse({ name, params, target: readTarget(target) });
        if (!parsed.success) throw invalidRequest(parsed.error);
        return { command: draftMessage(await core.templates.render(name, parsed.data)) };
      } catch (thrown) {
        throw withFieldsNamed(thrown, specField);
      }
    }),

    runTemplate: unary(method.runTemplate, async (request, { actor, core }) => {
      try {
        const parsed = runTemplateInput.safeParse({
          name: request.name,
          params: request.params,
          target: readTarget(request.target),
          idempotencyKey: request.idempotencyKey || undefined,
          correlationId: request.correlationId || undefined,
        });
        if (!parsed.success) throw invalidRequest(parsed.error);
        const { name, params, target, ...options } = parsed.data;
        const command = await core.templates.run(actor.subject, name, { params, target }, options);
        return { command: commandMessage(command) };
      } catch (thrown) {
        throw withFieldsNamed(thrown, specField);
      }
    }),
  };
}
