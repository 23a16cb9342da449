import { expect, test } from 'vitest';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { firingAlert } from '../support/api-alerts.ts';
import { serial } from '../support/api-certificates.ts';
import { otherRequestId, requestId, tokenId } from '../support/api-enrollment.ts';
import { findGrpcurl, grpcurl } from '../support/api-grpcurl.ts';
import { startApi } from '../support/api-server.ts';

const binary = findGrpcurl();

if (binary === undefined) {
  // biome-ignore lint/suspicious/noConsole: a test that did not run must not look like one that passed
  console.warn('\n*** grpcurl is not installed: the gRPC surface was NOT tested with it. ***\n');
  test('without grpcurl nothing is tested here', () => {
    expect(findGrpcurl()).toBeUndefined();
  });
} else {
  test('grpcurl lists and describes by reflection alone', async () => {
    await using api = await startApi();
    const { output: services } = await grpcurl(binary, [api.address2, 'list']);
    expect(services).toContain('viworks.control.v1.ControlService');
    const { output: methods } = await grpcurl(binary, [api.address2, 'list', ControlService.typeName]);
    expect(methods.trim().split('\n')).toHaveLength(ControlService.methods.length);
    const { output: spec } = await grpcurl(binary, [
      api.address2,
      'describe',
      'viworks.control.v1.CommandSpec',
    ]);
    expect(spec).toContain('string verb = 1');
    const { output: args } = await grpcurl(binary, [api.address2, 'describe', 'viworks.verbs.v1.ExecArgs']);
    expect(args).toContain('(.viworks.verbs.v1.verb)');
  });

  test('grpcurl calls every method of the control service', async () => {
    await using api = await startApi();
    const header = `authorization: Bearer ${await api.tokenFor('admin')}`;
    const called = new Set<string>();
    const call = async (method: string, request: object) => {
      called.add(method);
      const path = `${ControlService.typeName}/${method}`;
      const { ok, output } = await grpcurl(binary, [
        '-H',
        header,
        '-d',
        JSON.stringify(request),
        api.address2,
        path,
      ]);
      expect({ method, ok, output }).toMatchObject({ ok: true });
      return JSON.parse(output);
    };
    expect((await call('ListAgents', { filter: { site: 'paris' } })).agents).toHaveLength(1);
    const { agent } = await call('GetAgent', { agentId: 'alpha' });
    expect(agent).toMatchObject({ agentId: 'alpha', telemetry: { cpu: { usage: 0.25 } } });
    await call('SetAgentStatus', { agentId: 'alpha', maintenance: true, reason: 'new disk' });
    expect(await call('CreateEnrollmentToken', { site: 'berlin', lifetime: '60s' })).toEqual({
      token: 'vwe_once',
      tokenId,
    });
    const spec = { verb: 'exec', args: { argv: ['true'] }, target: { all: true }, timeout: '1.5s' };
    const { chosen } = await call('PlanCommand', { spec });
    expect(chosen).toEqual([expect.objectContaining({ state: 'EXECUTION_STATE_QUEUED' })]);
    const { command } = await call('SubmitCommand', { spec });
    expect(command.spec).toMatchObject({ timeout: '1.500s', args: { argv: ['true'] } });
    const { commandId } = command;
    expect((await call('GetCommand', { commandId })).executions).toHaveLength(1);
    expect((await call('ListCommands', {})).commands).toHaveLength(1);
    expect((await call('CancelCommand', { commandId, reason: 'a test' })).command.done).toBe(true);
    expect(await call('WatchCommand', { commandId, cursor: 'c1' })).toMatchObject({ cursor: 'c2' });
    const executionId = '01890a5d-ac96-774b-bcce-b302099a8057';
    expect(await call('ReadOutput', { executionId })).toMatchObject({ attempt: 1, data: 'aGk=' });
    const steps = { ...spec, rollout: { canary: 0, batchAgents: 5, deliveryTimeout: '90s' } };
    const { command: begun } = await call('SubmitCommand', { spec: steps });
    expect(begun.rollout).toMatchObject({ state: 'ROLLOUT_STATE_RUNNING', plan: steps.rollout });
    const rollout = { commandId: begun.commandId };
    expect((await call('PauseRollout', { ...rollout, reason: 'x' })).command.rollout.state).toMatch(/PAUSED/);
    expect((await call('ResumeRollout', rollout)).command.rollout.state).toMatch(/RUNNING/);
    expect((await call('ListRollouts', { state: 'ROLLOUT_STATE_RUNNING' })).commands).toHaveLength(1);
    expect((await call('AbortRollout', rollout)).command.rollout.state).toMatch(/ABORTED/);
    expect((await call('GetRollout', rollout)).command.rollout.state).toMatch(/ABORTED/);
    const dangerous = { spec: { ...spec, correlationId: 'dangerous' } };
    const waiting = (await call('SubmitCommand', dangerous)).command;
    expect(waiting.approval.state).toBe('APPROVAL_STATE_PENDING');
    const verdict = { commandId: waiting.commandId, reason: 'checked' };
    expect((await call('ApproveCommand', verdict)).command.approval).toMatchObject({
      state: 'APPROVAL_STATE_APPROVED',
      reason: 'checked',
    });
    expect((await call('RejectCommand', verdict)).command.approval.state).toBe('APPROVAL_STATE_REJECTED');
    const states = ['EXECUTION_STATE_CANCELLED'];
    expect((await call('RetryCommand', { commandId, states })).command.retryOf).toBe(commandId);
    expect((await call('GetStatistics', { by: 'STATISTICS_GROUP_SITE' })).statistics).toEqual([
      { key: 'site', total: 3, succeeded: 2, failed: 1, runP50: '1.500s', runP95: '2s', runMaximum: '3s' },
    ]);
    const parameters = [{ name: 'dir', type: 'PARAMETER_TYPE_STRING', defaultValue: '/' }];
    const draft = { verb: 'exec', args: { argv: ['ls', '{{dir}}'] }, target: { all: true } };
    const { template } = await call('SaveTemplate', { spec: { name: 'ls', parameters, command: draft } });
    expect(template.spec.parameters).toEqual([expect.objectContaining({ defaultValue: '/' })]);
    expect((await call('GetTemplate', { name: 'ls' })).template.revision).toBe(1);
    expect((await call('ListTemplates', {})).templates).toHaveLength(1);
    const rendered = await call('RenderTemplate', { name: 'ls', params: { dir: '/srv' } });
    expect(rendered.command.args).toEqual({ argv: ['ls', '/srv'] });
    expect((await call('RunTemplate', { name: 'ls' })).command.spec.args.argv).toEqual(['ls', '/']);
    await call('DeleteTemplate', { name: 'ls', revision: 1 });
    const timing = { cron: { expression: '0 3 * * *', timeZone: 'Europe/Berlin' }, catchUpWithin: '60s' };
    const action = { command: { ...draft, args: { argv: ['ls'] } } };
    const { schedule } = await call('CreateSchedule', { name: 'nightly', timing, action });
    expect(schedule).toMatchObject({ timing, enabled: true, nextAt: '2030-01-01T00:00:00Z' });
    const nightly = { name: 'nightly' };
    const changed = await call('UpdateSchedule', { ...nightly, revision: 1, description: 'x' });
    expect(changed.schedule).toMatchObject({ description: 'x', revision: 2, timing });
    expect((await call('PauseSchedule', nightly)).schedule.enabled).toBeUndefined();
    expect((await call('ResumeSchedule', nightly)).schedule.enabled).toBe(true);
    expect((await call('GetSchedule', nightly)).schedule.name).toBe('nightly');
    expect((await call('ListSchedules', {})).schedules).toHaveLength(1);
    expect((await call('RunSchedule', nightly)).command.spec.args.argv).toEqual(['ls']);
    expect((await call('NextOccurrences', { ...nightly, count: 2 })).occurrences).toHaveLength(2);
    await call('DeleteSchedule', nightly);
    expect((await call('ListEnrollmentTokens', {})).tokens).toHaveLength(1);
    expect((await call('GetEnrollmentToken', { tokenId })).token).toMatchObject({ uses: 3, usesLeft: 2 });
    const { token: revoked } = await call('RevokeEnrollmentToken', { tokenId });
    expect(revoked.state).toBe('ENROLLMENT_TOKEN_STATE_REVOKED');
    expect((await call('ListEnrollmentRequests', {})).requests).toHaveLength(2);
    const approved = await call('ApproveEnrollment', { requestId, fingerprint: 'x', site: 'berlin' });
    expect(approved.request.state).toBe('ENROLLMENT_REQUEST_STATE_APPROVED');
    const rejected = await call('RejectEnrollment', { requestId: otherRequestId, reason: 'not ours' });
    expect(rejected.request).toMatchObject({
      state: 'ENROLLMENT_REQUEST_STATE_REJECTED',
      reason: 'not ours',
    });
    const alpha = { agentId: 'alpha' };
    expect((await call('RotateAgentKey', alpha)).agent.agentId).toBe('alpha');
    expect((await call('RevokeAgent', { ...alpha, reason: 'stolen' })).agent.agentId).toBe('alpha');
    expect((await call('ReleaseAgent', alpha)).agent.agentId).toBe('alpha');
    await call('RemoveAgent', alpha);
    const { keys, serverKey } = await call('ListKeys', {});
    expect(keys).toEqual([expect.objectContaining({ state: 'COMMAND_KEY_STATE_ACTIVE' })]);
    expect(serverKey.keyId).toMatch(/^[0-9a-f]{32}$/);
    expect((await call('RotateKey', { overlap: '60s' })).keys).toHaveLength(2);
    const { keys: left } = await call('RevokeKey', { keyId: keys[0].keyId, reason: 'copied' });
    expect(left[1]).toMatchObject({ state: 'COMMAND_KEY_STATE_REVOKED', revokeReason: 'copied' });
    const signed = await call('CreateApiToken', { subject: 'ada', role: 'ROLE_VIEWER', lifetime: '60s' });
    expect(signed).toMatchObject({ token: expect.any(String), expiresAt: expect.any(String) });
    const limits = { sites: ['berlin'], verbs: ['docker.*'] };
    const made = await call('CreateToken', { name: 'shop', role: 'ROLE_OPERATOR', limits });
    expect(made.details).toMatchObject({ name: 'shop', role: 'ROLE_OPERATOR', limits });
    expect((await call('ListTokens', {})).tokens).toHaveLength(1);
    const ended = await call('RevokeToken', { tokenId: made.details.tokenId });
    expect(ended.revoked.revokedAt).toEqual(expect.any(String));
    expect(await call('ListIssuerKeys', {})).toEqual({});
    const [issuerKey] = (await call('RotateIssuerKey', {})).keys;
    expect(issuerKey.state).toBe('ISSUER_KEY_STATE_ACTIVE');
    const { keys: after } = await call('RevokeIssuerKey', { keyId: issuerKey.keyId });
    expect(after[0].state).toBe('ISSUER_KEY_STATE_REVOKED');
    expect((await call('ListVerbs', {})).verbs.length).toBeGreaterThan(3);
    expect((await call('GetVerb', { name: 'docker.rm' })).verb.args[0]).toMatchObject({ required: true });
    const audited = await call('ListAuditEntries', { filter: { action: 'schedules.delete' } });
    expect(audited.entries).toMatchObject([{ resourceId: 'nightly', outcome: 'AUDIT_OUTCOME_DONE' }]);
    expect((await call('VerifyAudit', {})).nextPageToken).toBe('next');
    expect((await call('ExportAudit', {})).lines).toHaveLength(2);
    expect((await call('GetAuditHead', {})).block).toBe('1');
    expect((await call('GetCertificateStatus', {})).status.authorities).toHaveLength(1);
    expect((await call('GetPins', {})).pins.primary).toMatch(/^sha256\//);
    for (const step of ['PrepareAuthority', 'DropAuthority', 'ActivateAuthority'])
      expect((await call(step, {})).status.trustDomain).toBe('test');
    for (const step of ['RetireAuthority', 'RotatePins'])
      expect((await call(step, { force: true })).status.trustDomain).toBe('test');
    const certificate = { request: 'AQID', names: ['control.example'] };
    expect((await call('IssueCertificate', certificate)).certificate.names).toEqual(['control.example']);
    expect((await call('ListCertificates', {})).certificates).toMatchObject([{ serial }]);
    const gone = await call('RevokeCertificate', { serial, reason: 'copied' });
    expect(gone.certificate.revokeReason).toBe('copied');
    const { alertId } = firingAlert;
    expect((await call('ListAlerts', {})).alerts).toMatchObject([{ alertId, severity: 'SEVERITY_WARNING' }]);
    expect((await call('GetAlert', { alertId })).alert).toMatchObject({ subject: '/data', value: 91.5 });
    expect((await call('AcknowledgeAlert', { alertId, note: 'on it' })).alert.note).toBe('on it');
    const quiet = { match: { site: 'berlin' }, lifetime: '3600s', reason: 'works' };
    const { silence } = await call('SilenceAlerts', quiet);
    expect((await call('ListSilences', {})).silences).toMatchObject([{ reason: 'works' }]);
    expect((await call('EndSilence', { silenceId: silence.silenceId })).silence.endedBy).toBeTruthy();
    const rule = { name: 'hot', severity: 'SEVERITY_CRITICAL', metric: 'cpu.percent', threshold: 95 };
    expect((await call('SaveAlertRule', { spec: rule })).rule).toMatchObject({ spec: rule, revision: 1 });
    expect((await call('GetAlertRule', { name: 'hot' })).rule.spec.threshold).toBe(95);
    expect((await call('ListAlertRules', {})).rules).toHaveLength(1);
    await call('DeleteAlertRule', { name: 'hot', revision: 1 });
    const webhook = { name: 'chat', url: 'https://chat.example/hook' };
    expect((await call('AddWebhook', webhook)).secret).toMatch(/^whsec_/);
    expect((await call('ListWebhooks', {})).webhooks).toMatchObject([webhook]);
    expect(await call('TestWebhook', { name: 'chat' })).toMatchObject({ status: 500 });
    expect((await call('ListDeadLetters', { webhook: 'chat' })).deadLetters).toHaveLength(1);
    expect((await call('RetryDeadLetters', { webhook: 'chat' })).count).toBe(3);
    await call('RemoveWebhook', { name: 'chat' });
    const { agents: measured } = await call('ListLatestTelemetry', { filter: { site: 'paris' } });
    expect(measured).toEqual([expect.objectContaining({ agentId: 'beta' })]);
    const when = { from: '2029-12-31T00:00:00Z', to: '2030-01-01T00:00:00Z' };
    const { samples } = await call('ListTelemetrySamples', { agentId: 'beta', ...when });
    expect(samples).toMatchObject([{ late: true, sample: { number: '7', metrics: { queue_length: 12 } } }]);
    const wanted = { agentId: 'beta', metrics: ['cpu'], resolution: 60, ...when };
    expect((await call('GetTelemetrySeries', wanted)).spans[0].metrics.cpu.average).toBe(1.5);
    const metric = 'METRIC_CPU';
    const filter = { sites: ['paris'] };
    expect((await call('AggregateTelemetry', { metric, filter, ...when })).spans).toMatchObject([
      { agents: 5 },
    ]);
    expect((await call('ListTelemetrySites', {})).sites).toMatchObject([{ site: 'berlin', reporting: 2 }]);
    const { agent: sick } = await call('GetHealthReport', { agentId: 'beta' });
    expect(sick).toMatchObject({ verdict: 'VERDICT_UNHEALTHY', figures: { metrics: { cpu: 12.5 } } });
    expect((await call('GetTrends', { agentId: 'beta' })).trends).toHaveLength(2);
    expect((await call('GetHealth', {})).health.status).toBe('ok');
    expect([...called].sort()).toEqual(ControlService.methods.map((method) => method.name).sort());
  });

  test('grpcurl shows which field is wrong', async () => {
    await using api = await startApi();
    const header = `authorization: Bearer ${await api.tokenFor('admin')}`;
    const path = `${ControlService.typeName}/GetCommand`;
    const { ok, output } = await grpcurl(binary, [
      '-H',
      header,
      '-d',
      '{"commandId":"x"}',
      api.address2,
      path,
    ]);
    expect(ok).toBe(false);
    expect(output).toContain('InvalidArgument');
    expect(output).toContain('"field": "command_id"');
    expect(output).toContain('INVALID_REQUEST');
  });
}
