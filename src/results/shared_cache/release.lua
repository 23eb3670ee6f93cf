-- Releases the lease of a session, if the releaser still has it, and saves what it read.
--
-- KEYS: lease, status, unknown. ARGV: the releaser's name; the encrypted status, '' for none, and
-- its TTL in ms; if AWS did not know the session, how long all replicas know that, in ms, else '0'.

if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
if ARGV[4] ~= '0' then
  redis.call('SET', KEYS[3], '1', 'PX', ARGV[4])
elseif ARGV[2] ~= '' then
  redis.call('DEL', KEYS[3])
end
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 2) == ARGV[1] then redis.call('DEL', KEYS[1]) end
