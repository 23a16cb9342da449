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
CREATE INDEX "audit_blocks_sealed" ON "audit_blocks" USING btree ("sealed_at");