CREATE TABLE "agent_trust" (
	"agent_id" text PRIMARY KEY NOT NULL,
	"incarnation" integer NOT NULL,
	"version" bigint NOT NULL,
	"stored_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "certificates" (
	"serial" text PRIMARY KEY NOT NULL,
	"authority_id" text NOT NULL,
	"agent_id" text,
	"incarnation" integer,
	"names" text[] NOT NULL,
	"issued_at" timestamp (3) with time zone NOT NULL,
	"not_after" timestamp (3) with time zone NOT NULL,
	"issued_to" text NOT NULL,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	"revoke_reason" text
);
--> statement-breakpoint
CREATE TABLE "tls_keys" (
	"name" text PRIMARY KEY NOT NULL,
	"sealed_key" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tls_trust_documents" (
	"version" bigint PRIMARY KEY NOT NULL,
	"document" "bytea" NOT NULL,
	"signature" "bytea" NOT NULL,
	"signed_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "agent_trust" ADD CONSTRAINT "agent_trust_agent_id_agents_agent_id_fk" FOREIGN KEY ("agent_id") REFERENCES "public"."agents"("agent_id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "certificates_agent" ON "certificates" USING btree ("agent_id","issued_at");--> statement-breakpoint
CREATE INDEX "certificates_end" ON "certificates" USING btree ("not_after");--> statement-breakpoint
CREATE INDEX "certificates_revoked" ON "certificates" USING btree ("not_after") WHERE revoked_at is not null;