DROP INDEX "executions_agent";--> statement-breakpoint
CREATE INDEX "executions_agent" ON "executions" USING btree ("agent_id","command_id") WHERE deadline_at is null;