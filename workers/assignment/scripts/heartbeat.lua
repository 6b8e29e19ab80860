-- Renews what the agent holds. ARGV: agent, lease in µs, then id and attempt of
-- each execution. Answers id and attempt of those it does not hold any more.
local agent, lease = ARGV[1], tonumber(ARGV[2])
redis.call('ZADD', P .. 'agents', int(now), agent)
local lost = {}
for i = 3, #ARGV, 2 do
  if holds(agent, ARGV[i], ARGV[i + 1]) then
    renew(ARGV[i], lease)
  else
    lost[#lost + 1] = ARGV[i]
    lost[#lost + 1] = ARGV[i + 1]
  end
end
return lost
