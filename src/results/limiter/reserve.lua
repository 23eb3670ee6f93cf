-- Reserves one read of the quota that replicas share: a rate limiter of virtual time (GCRA), and a
-- window that bounds the reads of a second.
--
-- KEYS: the quota, a hash. Its times are in microseconds of Redis's clock: `all` is when the rate
-- has the next read, `re` when the next read is due that is not a first read, `first` is the last
-- first read, `spaced` when the next one can come after one that had to wait, `waited` the last
-- first read or re-read that had to wait. `count` is the number of reads so far, `not_found` this
-- number after the last read of an unknown id. The fields 0, 1, … are the times of the last reads,
-- of number n in field n modulo their number.
-- ARGV: the kind of read ('first_read', 'beyond_share', 're_read', 'capture', 'not_found'); the
-- interval between two reads and the burst, in microseconds; the share of re-reads, from 0 to 1;
-- the window: its number of reads, and its length in microseconds.
-- Returns {1, microseconds until the reserved read}, or {0, microseconds until a retry}.
--
-- A read is at least one window after the read that many before it. First reads can come in a burst
-- after an idle time; those that must wait are spread over half of a window, so that no burst meets
-- late reads of the last one. A first read of a client beyond its share leaves half of the rate to
-- other clients: after a burst of half of a window, such reads are two intervals apart, and at an
-- even pace one. The other kinds are paced evenly; they get their share while a first read waits. A
-- capture gets a read only if half of the window is unused, and no other read had to wait in it. So
-- does an unknown id, which also gets one read of ten. A time that is a minute ahead comes from
-- another server's clock, after a failover, and is ignored.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kind, interval, burst, share = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local grants, window = tonumber(ARGV[5]), tonumber(ARGV[6])
local function time_of(text)
  local time = tonumber(text) or 0
  return time > now + 60000000 and 0 or time
end
local function text(number) return string.format('%.0f', number) end
local saved = redis.call('HMGET', KEYS[1], 'all', 're', 'first', 'count', 'not_found', 'waited', 'spaced')
local count, not_found = tonumber(saved[4]) or 0, tonumber(saved[5]) or 0
local oldest, half = count % grants, (count - math.max(math.floor(grants / 2), 1)) % grants
local reads = redis.call('HMGET', KEYS[1], oldest, half)
local all = math.max(time_of(saved[1]), now - burst)
local at = math.max(all, now, time_of(reads[1]) + window)
if kind == 'capture' or kind == 'not_found' then
  local spare = math.max(time_of(reads[2]), time_of(saved[6])) + window
  local turns = kind == 'not_found' and 10 - (count - not_found) or 10
  if spare > now and turns > 0 then return {0, math.ceil(math.min(spare - now, turns * interval))} end
end
if kind == 'beyond_share' then
  at = math.max(at, time_of(saved[7]) + window / (2 * grants))
  local half, fields = math.ceil(grants / 2), {}
  for back = half, grants - 1 do table.insert(fields, (count - back) % grants) end
  local times = #fields > 0 and redis.call('HMGET', KEYS[1], unpack(fields)) or {}
  for index, time in ipairs(times) do
    at = math.max(at, time_of(time) + window / grants * (2 * (half + index - 1) + 1 - grants))
  end
  kind = 'first_read'
end
if kind == 'first_read' then
  at = math.max(at, time_of(saved[7]))
  redis.call('HSET', KEYS[1], 'first', text(at))
  if at > now then redis.call('HSET', KEYS[1], 'spaced', text(at + window / (2 * grants))) end
else
  at = math.max(at, time_of(saved[2]))
  local pace = time_of(saved[3]) > now and interval / share or interval
  redis.call('HSET', KEYS[1], 're', text(at + pace))
end
if at > now and (kind == 'first_read' or kind == 're_read') then
  redis.call('HSET', KEYS[1], 'waited', text(at))
end
if kind == 'not_found' then not_found = count + 1 end
all = math.max(all, at - burst) + interval
local counts = {'count', text(count + 1), 'not_found', text(not_found)}
redis.call('HSET', KEYS[1], 'all', text(all), oldest, text(at), unpack(counts))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(all, at + window) - now + burst) / 1000) + 1000)
return {1, math.ceil(at - now)}
