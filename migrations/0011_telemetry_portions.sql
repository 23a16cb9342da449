ALTER TABLE "telemetry_dirty" ADD COLUMN "portioned" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "telemetry_dirty" ADD COLUMN "samples" bigint DEFAULT 1 NOT NULL;