// Package engine is specialized-engines: it hosts agents that take tasks from the
// universal-orchestrator, through the proxy like any client, and execute them. All
// agents of one engine attach on one stream (api/client's Fleet).
// docs/specialized-engines.md is the operator's page: configuration, handlers,
// what each error means.
//
// Handlers (a task names one, and should have its name as a capability too):
//
//	echo   answers the payload
//	hash   answers a digest of the payload, in hex
//	sleep  waits for the duration in the payload ("250ms"), answers it
//	http   makes a request that its allow list has
//
// Your own: implement Handler, host it with New or Setup and WithHandler.
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
//	leanvibe_engine_tasks_taken_total                 executions begun
//	leanvibe_engine_in_flight                         executions going on, the reporting of results included
//	leanvibe_engine_tasks_done_total{outcome}         ended and reported; outcome ok, failed, lost or released
//	leanvibe_engine_agents{state}                     state configured or attached
//	leanvibe_engine_running{handler}                  handlers running
//	leanvibe_engine_finished_total{handler,outcome}   runs of handlers that ended; outcome ok, retryable, permanent,
//	                                                  panic, deadline, lost or released
//	leanvibe_engine_task_duration_seconds{handler}    histogram
//	leanvibe_engine_progress_total{outcome}           reports; outcome stored, thinned or dropped
package engine
