CREATE TABLE "enrollment_requests" (
	"request_id" uuid PRIMARY KEY NOT NULL,
	"agent_id" text NOT NULL,
	"key_id" text NOT NULL,
	"public_key" "bytea" NOT NULL,
	"labels" jsonb NOT NULL,
	"hostname" text NOT NULL,
	"remote_address" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"requested_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"decided_by" text,
	"decided_at" timestamp (3) with time zone,
	"reason" text
);
--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "token_id" uuid;--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "next_key_id" text;--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "next_public_key" "bytea";--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "previous_key_id" text;--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "previous_public_key" "bytea";--> statement-breakpoint
ALTER TABLE "agent_keys" ADD COLUMN "previous_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "agents" ADD COLUMN "generation" bigint DEFAULT 0;--> statement-breakpoint
ALTER TABLE "agents" ADD COLUMN "held" jsonb;--> statement-breakpoint
ALTER TABLE "agents" ADD COLUMN "revoked" jsonb;--> statement-breakpoint
ALTER TABLE "agents" ADD COLUMN "rotate_key" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "enrollment_tokens" ADD COLUMN "token_id" uuid DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
ALTER TABLE "enrollment_tokens" ADD COLUMN "revoked_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "enrollment_tokens" ADD COLUMN "revoked_by" text;--> statement-breakpoint
CREATE UNIQUE INDEX "enrollment_requests_key" ON "enrollment_requests" USING btree ("key_id");--> statement-breakpoint
CREATE INDEX "enrollment_requests_pending" ON "enrollment_requests" USING btree ("remote_address") WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "agent_keys_token" ON "agent_keys" USING btree ("token_id");