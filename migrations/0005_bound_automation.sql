ALTER TABLE "schedules" ADD COLUMN "binding" "bytea";--> statement-breakpoint
ALTER TABLE "templates" ADD COLUMN "binding" "bytea";