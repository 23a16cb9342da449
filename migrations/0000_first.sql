CREATE TABLE "agent_keys" (
	"agent_id" text NOT NULL,
	"incarnation" integer NOT NULL,
	"key_id" text NOT NULL,
	"public_key" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "agent_keys_agent_id_incarnation_pk" PRIMARY KEY("agent_id","incarnation")
);
--> statement-breakpoint
CREATE TABLE "agents" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"site" text NOT NULL,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"capabilities" text[] DEFAULT '{}' NOT NULL,
	"software" text DEFAULT '' NOT NULL,
	"hostname" text DEFAULT '' NOT NULL,
	"os" text DEFAULT '' NOT NULL,
	"kernel" text DEFAULT '' NOT NULL,
	"architecture" text DEFAULT '' NOT NULL,
	"container_engine" text DEFAULT '' NOT NULL,
	"presence" text DEFAULT 'offline' NOT NULL,
	"maintenance" boolean DEFAULT false NOT NULL,
	"status_reason" text,
	"incarnation" integer NOT NULL,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"transport" text,
	"remote_address" text,
	"tls" boolean,
	"connected_at" timestamp (3) with time zone,
	"last_seen_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "enrollment_tokens" (
	"token_hash" "bytea" PRIMARY KEY NOT NULL,
	"site" text NOT NULL,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"agent_id" text,
	"uses" integer NOT NULL,
	"used" integer DEFAULT 0 NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"session_id" uuid PRIMARY KEY NOT NULL,
	"agent_id" text NOT NULL,
	"incarnation" integer NOT NULL,
	"epoch" bigint NOT NULL,
	"transport" text NOT NULL,
	"remote_address" text NOT NULL,
	"tls" boolean NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone,
	"end_reason" text
);
--> statement-breakpoint
CREATE TABLE "telemetry_latest" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"boot_id" "bytea" NOT NULL,
	"number" bigint NOT NULL,
	"taken_at" timestamp (3) with time zone NOT NULL,
	"received_at" timestamp (3) with time zone NOT NULL,
	"sample" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "commands" (
	"command_id" uuid PRIMARY KEY NOT NULL,
	"actor" text NOT NULL,
	"verb" text NOT NULL,
	"args" jsonb NOT NULL,
	"args_bytes" "bytea" NOT NULL,
	"target" jsonb NOT NULL,
	"priority" smallint NOT NULL,
	"timeout_ms" bigint NOT NULL,
	"time_to_live_ms" bigint NOT NULL,
	"idempotency_key" text,
	"idempotency_digest" "bytea",
	"correlation_id" text,
	"traceparent" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "executions" (
	"execution_id" uuid PRIMARY KEY NOT NULL,
	"command_id" uuid NOT NULL,
	"agent_id" text NOT NULL,
	"incarnation" integer NOT NULL,
	"position" integer NOT NULL,
	"priority" smallint NOT NULL,
	"state" text NOT NULL,
	"attempt" integer DEFAULT 1 NOT NULL,
	"epoch" bigint,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"deadline_at" timestamp (3) with time zone,
	"cancel_reason" text,
	"transitions" jsonb NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"exit_code" integer,
	"signal" text,
	"stdout" "bytea",
	"stdout_total" bigint,
	"stdout_truncated" boolean,
	"stderr" "bytea",
	"stderr_total" bigint,
	"stderr_truncated" boolean,
	"output" jsonb,
	"failure_code" text,
	"failure_message" text,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
ALTER TABLE "agent_keys" ADD CONSTRAINT "agent_keys_agent_id_agents_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("agent_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_agent_id_agents_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("agent_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "telemetry_latest" ADD CONSTRAINT "telemetry_latest_agent_id_agents_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("agent_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "executions" ADD CONSTRAINT "executions_command_id_commands_command_id_fk" FOREIGN KEY ("command_id") REFERENCES "public"."commands"("command_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "agent_keys_key" ON "agent_keys" USING btree ("key_id");--> statement-breakpoint
CREATE INDEX "agents_site" ON "agents" USING btree ("site");--> statement-breakpoint
CREATE UNIQUE INDEX "sessions_agent_epoch" ON "sessions" USING btree ("agent_id","epoch");--> statement-breakpoint
CREATE INDEX "sessions_open" ON "sessions" USING btree ("agent_id") WHERE ended_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "commands_idempotency" ON "commands" USING btree ("actor","idempotency_key") WHERE idempotency_key is not null;--> statement-breakpoint
CREATE INDEX "commands_verb" ON "commands" USING btree ("verb","command_id");--> statement-breakpoint
CREATE UNIQUE INDEX "executions_command" ON "executions" USING btree ("command_id","position");--> statement-breakpoint
CREATE INDEX "executions_agent" ON "executions" USING btree ("agent_id","execution_id");--> statement-breakpoint
CREATE INDEX "executions_waiting" ON "executions" USING btree ("agent_id","priority","execution_id") WHERE state in ('queued', 'held');--> statement-breakpoint
CREATE INDEX "executions_open" ON "executions" USING btree ("agent_id") WHERE state in ('sent', 'accepted', 'running');--> statement-breakpoint
CREATE INDEX "executions_deadline" ON "executions" USING btree ("deadline_at") WHERE deadline_at is not null;