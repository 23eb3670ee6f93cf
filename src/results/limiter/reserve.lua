-- Reserves one read of the quota that replicas share: a rate limiter of virtual time (GCRA).
--
-- KEYS: the quota, a hash of two times in microseconds of Redis's clock. `all` is when the next read
-- is free, `re` the same for re-reads.
-- ARGV: the kind of read ('first_read', 're_read', 'capture'); the interval between two reads and the
-- burst, both in microseconds; the share of re-reads, from 0 to 1.
-- Returns {1, microseconds until the reserved read}, or {0, microseconds until a retry}.
--
-- After an idle time reads can come in a burst. A re-read can exceed its share while half of the
-- burst is unused. A capture gets a read only if the whole burst is unused. A time that is a minute
-- ahead comes from another server's clock, after a failover, and is ignored.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kind, interval, burst, share = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local saved = redis.call('HMGET', KEYS[1], 'all', 're')
local function time_of(text)
  local time = tonumber(text) or 0
  if time > now + 60000000 then time = 0 end
  return math.max(time, now - burst)
end
local all, re = time_of(saved[1]), time_of(saved[2])
local at = math.max(all, now)
if kind == 'capture' and all > now - burst then return {0, math.ceil(all - now + burst)} end
if kind == 're_read' and all > now - burst / 2 then
  at = math.max(at, re)
  re = re + interval / share
end
all = all + interval
redis.call('HSET', KEYS[1], 'all', string.format('%.0f', all), 're', string.format('%.0f', re))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(all, re) - now + burst) / 1000) + 1000)
return {1, math.ceil(at - now)}
