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
ALTER TABLE "executions" ADD COLUMN "binding" "bytea";--> statement-breakpoint
ALTER TABLE "executions" ADD COLUMN "attempt_binding" "bytea";