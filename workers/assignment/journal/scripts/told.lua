-- Put before the scripts that must tell a lost owner key from another owner.
-- told answers the last epoch and sequence that the log and the snapshot know of,
-- and nil, nil, the key that lost entries, when what is left does not say.
local function told(log, snap)
  local s = redis.call('HMGET', snap, 'epoch', 'seq')
  local epoch, seq = tonumber(s[1] or '0'), tonumber(s[2] or '0')
  if redis.call('EXISTS', log) == 0 then
    -- A trimmed stream stays, empty: a snapshot without one means a loss.
    if seq > 0 then return nil, nil, log end
    return 0, 0
  end
  local info = redis.call('XINFO', 'STREAM', log)
  local ever = 0
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then ever = tonumber(string.match(info[i + 1], '^%d+')) end
  end
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if last then epoch, seq = tonumber(last[2][2]), tonumber(string.match(last[1], '^%d+')) end
  -- The entries behind it were deleted, and with them perhaps a takeover.
  if ever ~= seq or not epoch then return nil, nil, log end
  return epoch, seq
end
-- lost answers for an owner of this epoch that finds the owner key without one.
local function lost(epoch, log, snap)
  local there, seq = told(log, snap)
  if there and there > tonumber(epoch) then return {'fenced', string.format('%.0f', there)} end
  return {'lost', string.format('%.0f', seq or 0)}
end
