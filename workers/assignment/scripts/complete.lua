-- Ends one execution. ARGV: agent, id, attempt, outcome (ok, fail, final),
-- result, error. Answers status (accepted, duplicate, refused), the task's state
-- and, when refused, the reason.
local agent, id, attempt, outcome, result, err = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = P .. 'task:' .. id
local t = redis.call('HMGET', key, 'state', 'agent', 'attempt', 'queue', 'report')
if not t[1] then return {'refused', '', 'no such task'} end
local report = agent .. '#' .. attempt
if t[5] == report then return {'duplicate', t[1], ''} end

if t[1] ~= 'running' or t[2] ~= agent or t[3] ~= attempt then
  count(t[4], 'late_refused', 1)
  local reason = 'attempt ' .. attempt .. ' of agent ' .. agent .. ' is not held: '
  if t[1] == 'running' then
    reason = reason .. 'agent ' .. t[2] .. ' holds attempt ' .. t[3]
  elseif t[1] == 'waiting' then
    reason = reason .. 'its lease ran out or it was released, and the task waits again'
  else
    reason = reason .. 'the task is ' .. t[1] .. ' after attempt ' .. t[3]
  end
  return {'refused', t[1], reason}
end

redis.call('HSET', key, 'report', report)
unlease(id, t[4], agent)
if outcome == 'ok' then
  count(t[4], 'completed', 1)
  finish(id, 'completed', result, '')
else
  count(t[4], 'failed_attempts', 1)
  fail(id, t[4], err, outcome == 'final')
end
return {'accepted', redis.call('HGET', key, 'state'), ''}
