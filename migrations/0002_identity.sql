CREATE TABLE "audit_blocks" (
	"number" bigint PRIMARY KEY NOT NULL,
	"previous" "bytea" NOT NULL,
	"ranges" text NOT NULL,
	"highest" bigint NOT NULL,
	"settled" bigint NOT NULL,
	"sealed_at" timestamp (3) with time zone NOT NULL,
	"digests" "bytea" NOT NULL,
	"hash" "bytea" NOT NULL,
	"key_id" text NOT NULL,
	"signature" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_checkpoints" (
	"number" bigint PRIMARY KEY NOT NULL,
	"hash" "bytea" NOT NULL,
	"highest" bigint NOT NULL,
	"settled" bigint NOT NULL,
	"entries" bigint NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"key_id" text NOT NULL,
	"signature" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_entries" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_entries_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp (3) with time zone NOT NULL,
	"actor" text NOT NULL,
	"role" text,
	"action" text NOT NULL,
	"resource_kind" text,
	"resource_id" text,
	"outcome" text NOT NULL,
	"code" text,
	"count" integer NOT NULL,
	"address" text,
	"user_agent" text,
	"request_id" text,
	"correlation_id" text,
	"details" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "command_key_sets" (
	"version" bigint PRIMARY KEY NOT NULL,
	"key_set" "bytea" NOT NULL,
	"signature" "bytea" NOT NULL,
	"signed_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "command_keys" (
	"key_id" text PRIMARY KEY NOT NULL,
	"public_key" "bytea" NOT NULL,
	"sealed_private_key" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	"revoke_reason" text
);
--> statement-breakpoint
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
CREATE TABLE "issuer_keys" (
	"key_id" text PRIMARY KEY NOT NULL,
	"public_key" "bytea" NOT NULL,
	"sealed_key" "bytea" NOT NULL,
	"number" integer NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_expiry" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	CONSTRAINT "issuer_keys_number_unique" UNIQUE("number")
);
--> statement-breakpoint
CREATE TABLE "revoked_tokens" (
	"jti" text PRIMARY KEY NOT NULL,
	"revoked_by" text NOT NULL,
	"revoked_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "service_tokens" (
	"token_id" uuid PRIMARY KEY NOT NULL,
	"token_hash" "bytea" NOT NULL,
	"name" text NOT NULL,
	"role" text NOT NULL,
	"scope" jsonb,
	"seal" "bytea" NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"last_used_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	CONSTRAINT "service_tokens_token_hash_unique" UNIQUE("token_hash")
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
ALTER TABLE "schedules" ADD COLUMN "scope" jsonb;--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "binding" "bytea";--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "attempt_binding" "bytea";--> statement-breakpoint
CREATE INDEX "audit_blocks_sealed" ON "audit_blocks" USING btree ("sealed_at");--> statement-breakpoint
CREATE UNIQUE INDEX "enrollment_requests_key" ON "enrollment_requests" USING btree ("key_id");--> statement-breakpoint
CREATE INDEX "enrollment_requests_pending" ON "enrollment_requests" USING btree ("remote_address") WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "agent_keys_token" ON "agent_keys" USING btree ("token_id");