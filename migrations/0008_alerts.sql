CREATE TABLE "alert_deliveries" (
	"delivery_id" uuid PRIMARY KEY NOT NULL,
	"webhook" text NOT NULL,
	"rule" text NOT NULL,
	"site" text NOT NULL,
	"body" text NOT NULL,
	"state" text NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp (3) with time zone NOT NULL,
	"last_error" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"ended_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "alert_events" (
	"event_id" uuid PRIMARY KEY NOT NULL,
	"rule" text NOT NULL,
	"site" text NOT NULL,
	"kind" text NOT NULL,
	"alert" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "alert_rules" (
	"name" text PRIMARY KEY NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"enabled" boolean NOT NULL,
	"severity" text NOT NULL,
	"metric" text NOT NULL,
	"comparison" text NOT NULL,
	"threshold" double precision NOT NULL,
	"clear_threshold" double precision NOT NULL,
	"for_ms" integer NOT NULL,
	"clear_for_ms" integer NOT NULL,
	"selector" jsonb NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"updated_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "alert_seeds" (
	"name" text PRIMARY KEY NOT NULL,
	"seeded_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "alert_silences" (
	"silence_id" uuid PRIMARY KEY NOT NULL,
	"rule" text,
	"agent_id" text,
	"site" text,
	"subject" text,
	"reason" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"ends_at" timestamp (3) with time zone NOT NULL,
	"ended_by" text
);
--> statement-breakpoint
CREATE TABLE "alert_webhooks" (
	"name" text PRIMARY KEY NOT NULL,
	"webhook_id" uuid NOT NULL,
	"url" text NOT NULL,
	"sealed_secret" "bytea" NOT NULL,
	"filter" jsonb NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "alerts" (
	"alert_id" uuid PRIMARY KEY NOT NULL,
	"rule" text NOT NULL,
	"agent_id" text NOT NULL,
	"subject" text NOT NULL,
	"site" text NOT NULL,
	"severity" text NOT NULL,
	"metric" text NOT NULL,
	"comparison" text NOT NULL,
	"threshold" double precision NOT NULL,
	"state" text NOT NULL,
	"value" double precision,
	"seen_at" timestamp (3) with time zone NOT NULL,
	"pending_since" timestamp (3) with time zone NOT NULL,
	"fired_at" timestamp (3) with time zone,
	"clear_since" timestamp (3) with time zone,
	"resolved_at" timestamp (3) with time zone,
	"reason" text,
	"told" boolean NOT NULL,
	"acknowledged_at" timestamp (3) with time zone,
	"acknowledged_by" text,
	"note" text,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "alert_deliveries" ADD CONSTRAINT "alert_deliveries_webhook_alert_webhooks_name_fk" FOREIGN KEY ("webhook") REFERENCES "public"."alert_webhooks"("name") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "alert_deliveries_due" ON "alert_deliveries" USING btree ("next_at") WHERE state = 'waiting';--> statement-breakpoint
CREATE INDEX "alert_deliveries_order" ON "alert_deliveries" USING btree ("webhook","rule","site") WHERE state = 'waiting';--> statement-breakpoint
CREATE INDEX "alert_deliveries_ended" ON "alert_deliveries" USING btree ("ended_at") WHERE state <> 'waiting';--> statement-breakpoint
CREATE INDEX "alert_events_group" ON "alert_events" USING btree ("rule","site");--> statement-breakpoint
CREATE INDEX "alert_silences_ends" ON "alert_silences" USING btree ("ends_at");--> statement-breakpoint
CREATE UNIQUE INDEX "alerts_open" ON "alerts" USING btree ("rule","agent_id","subject") WHERE state <> 'resolved';--> statement-breakpoint
CREATE INDEX "alerts_resolved" ON "alerts" USING btree ("resolved_at") WHERE state = 'resolved';--> statement-breakpoint
CREATE INDEX "alerts_agent" ON "alerts" USING btree ("agent_id");