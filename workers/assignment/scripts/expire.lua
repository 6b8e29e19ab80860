-- Takes back what ran out: leases of agents that fell silent, deadlines of tasks
-- that still wait, agents not seen for long. ARGV: most of each, age in µs at
-- which an agent is forgotten. Answers lost executions, expired tasks.
local most, forget = ARGV[1], tonumber(ARGV[2])
local lost = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', int(now), 'LIMIT', 0, most)
for _, id in ipairs(lost) do
  local t = redis.call('HMGET', P .. 'task:' .. id, 'queue', 'agent', 'attempt')
  unlease(id, t[1], t[2])
  count(t[1], 'lost_attempts', 1)
  fail(id, t[1], 'the lease of attempt ' .. t[3] .. ' on agent ' .. t[2] .. ' ran out', false)
end

local late = redis.call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', int(now), 'LIMIT', 0, most)
for _, id in ipairs(late) do
  local t = redis.call('HMGET', P .. 'task:' .. id, 'queue', 'shape')
  unqueue(id, t[1], t[2])
  count(t[1], 'expired', 1)
  finish(id, 'dead', '', 'the deadline passed')
end

for _, agent in ipairs(redis.call('ZRANGEBYSCORE', P .. 'agents', '-inf', int(now - forget), 'LIMIT', 0, most)) do
  if redis.call('SCARD', P .. 'held:' .. agent) == 0 then
    redis.call('DEL', P .. 'agent:' .. agent)
    redis.call('ZREM', P .. 'agents', agent)
  end
end
return {#lost, #late}
