CREATE TABLE "schedules" (
	"name" text PRIMARY KEY NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"timing" jsonb NOT NULL,
	"action" jsonb NOT NULL,
	"actor" text NOT NULL,
	"enabled" boolean NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"next_at" timestamp (3) with time zone,
	"last_at" timestamp (3) with time zone,
	"last_command_id" uuid,
	"last_error" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "templates" (
	"name" text PRIMARY KEY NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"parameters" jsonb NOT NULL,
	"command" jsonb NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"updated_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"command_id" uuid PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"requested_by" text NOT NULL,
	"requested_at" timestamp (3) with time zone NOT NULL,
	"decided_by" text,
	"decided_at" timestamp (3) with time zone,
	"reason" text
);
--> statement-breakpoint
CREATE TABLE "execution_output" (
	"execution_id" uuid NOT NULL,
	"attempt" integer NOT NULL,
	"stream" smallint NOT NULL,
	"position" bigint NOT NULL,
	"data" "bytea" NOT NULL,
	"command_id" uuid NOT NULL,
	"changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	CONSTRAINT "execution_output_execution_id_attempt_stream_position_pk" PRIMARY KEY("execution_id","attempt","stream","position")
);
--> statement-breakpoint
CREATE TABLE "rollouts" (
	"command_id" uuid PRIMARY KEY NOT NULL,
	"plan" jsonb NOT NULL,
	"state" text NOT NULL,
	"reason" text,
	"released" integer DEFAULT 0 NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "executions" DROP CONSTRAINT "executions_command_id_commands_command_id_fk";
--> statement-breakpoint
DROP INDEX "executions_waiting";--> statement-breakpoint
ALTER TABLE "commands" ADD COLUMN "max_retries" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "commands" ADD COLUMN "skipped" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "commands" ADD COLUMN "retry_of" uuid;--> statement-breakpoint
ALTER TABLE "commands" ADD COLUMN "origin" text;--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "verb" text;--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "rank" bigint;--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "hold" text;--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "retries" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE "executions" e SET "verb" = c."verb", "hold" = CASE WHEN e."state" = 'held' THEN 'maintenance' END,
	"rank" = extract(epoch from c."created_at")::bigint * 1000 + c."priority" * 60000
	FROM "commands" c WHERE c."command_id" = e."command_id";--> statement-breakpoint
ALTER TABLE "executions" ALTER COLUMN "verb" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "executions" ALTER COLUMN "rank" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "executions" DROP COLUMN "priority";--> statement-breakpoint
CREATE INDEX "schedules_due" ON "schedules" USING btree ("next_at") WHERE enabled and next_at is not null;--> statement-breakpoint
CREATE INDEX "approvals_pending" ON "approvals" USING btree ("command_id") WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "execution_output_command" ON "execution_output" USING btree ("command_id","changed");--> statement-breakpoint
CREATE INDEX "rollouts_running" ON "rollouts" USING btree ("command_id") WHERE state = 'running';--> statement-breakpoint
CREATE INDEX "executions_waiting" ON "executions" USING btree ("agent_id","rank","execution_id") WHERE state in ('queued', 'held');