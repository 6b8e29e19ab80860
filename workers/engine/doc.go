// Package engine is specialized-engines: it hosts agents that take tasks from the
// universal-orchestrator, through the proxy like any client, and execute them.
//
// Handlers (a task names one):
//
//	echo   answers the payload
//	hash   answers the SHA-256 of the payload, in hex
//	sleep  waits for the duration in the payload ("250ms", at most 10m), answers it
//
// Your own: add a Handler to Handlers.
//
// Control, beside the endpoints of package process, on the service's own port
// (never routed by the proxy):
//
//	POST /control/drain    takes no more tasks; safe to repeat
//	POST /control/resume   takes tasks again; safe to repeat
//	GET  /control/status   {draining, agents, attached, in_flight, tasks_taken}
//
// All three answer the status. Ready means: at least one agent is attached, or
// the engine was drained by control.
//
// Metrics:
//
//	leanvibe_engine_tasks_taken_total               executions begun
//	leanvibe_engine_in_flight                       executions going on
//	leanvibe_engine_tasks_done_total{outcome}       outcome ok, failed, lost or released
//	leanvibe_engine_agents{state}                   state configured or attached
//	leanvibe_engine_task_duration_seconds{handler}  histogram
package engine
