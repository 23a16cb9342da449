import type { AlertService } from '../alerts/types.ts';
import type { AuditTrail } from '../audit/trail.ts';
import type { AuditService } from '../audit/types.ts';
import type { RolloutService } from '../commands/rollouts/service.ts';
import type { CommandService } from '../commands/service.ts';
import type { HealthReports } from '../health/types.ts';
import type { CertificateService } from '../identity/certificates/types.ts';
import type {
  CommandKeyService,
  EnrollmentAdmin,
  EnrollmentTokens,
  IssuerKeyService,
  TokenService,
} from '../identity/types.ts';
import type { UserTokens } from '../identity/user-tokens.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { VerbCatalogue } from '../protocol/verbs.ts';
import type { AgentService } from '../registry/types.ts';
import type { ScheduleService } from '../schedules/types.ts';
import type { TemplateService } from '../templates/types.ts';
import type { HealthReporter } from './health-report.ts';
import type { CallLimits } from './limits.ts';
import type { TelemetryService } from './telemetry-service.ts';

/** What the surfaces call. */
export interface ApiDeps {
  agents: AgentService;
  commands: CommandService;
  rollouts: RolloutService;
  templates: TemplateService;
  schedules: ScheduleService;
  alerts: AlertService;
  telemetry: TelemetryService;
  /** How agents are. `health` is how this service is. */
  healthReports: HealthReports;
  enrollmentTokens: EnrollmentTokens;
  enrollment: EnrollmentAdmin;
  commandKeys: CommandKeyService;
  certificates: CertificateService;
  userTokens: UserTokens;
  serviceTokens: TokenService;
  issuerKeys: IssuerKeyService;
  health: HealthReporter;
  metrics: Pick<Metrics, 'apiRequests' | 'render' | 'contentType'>;
  log: Logger;
  clock: Pick<Clock, 'now'>;
  verbs: VerbCatalogue;
  /** Milliseconds that an API token is good for unless asked otherwise. */
  tokenLifetimeMs: number;
  audit: AuditService;
  /** Where calls leave their entries. */
  trail: Pick<AuditTrail, 'during' | 'admitted' | 'refused'>;
  /** How much one client may ask. */
  limits: CallLimits;
  /** Percent of all agents that one command of an operator may go to; undefined does not limit it. */
  maxFleetShare?: number | undefined;
}
