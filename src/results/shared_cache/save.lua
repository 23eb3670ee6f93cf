-- Saves the first final result of a session, for all replicas.
--
-- KEYS: result, images, status, lease. ARGV: the encrypted result and its TTL in ms; the encrypted
-- images, '' for none, and their TTL in ms; '1' to replace a result that cannot be decrypted.
-- Returns the result that was saved before, or false if this one was saved. A session whose result
-- is saved needs neither its last status nor a lease.

local saved = redis.call('GET', KEYS[1])
if saved and ARGV[5] == '0' then return saved end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
redis.call('DEL', KEYS[3], KEYS[4])
return false
