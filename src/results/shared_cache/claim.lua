-- Looks up a session, and claims its lease.
--
-- KEYS: result, status, lease, unknown.
-- ARGV: the claimer's name; the lease's TTL in ms, 0 to look only; the kind, 'r' to read or 'w' to
-- queue the first read.
-- Returns {2, result, 0, 0} if the session is final, else {1 if the claimer has the lease or 0, the
-- last status or false, the status's remaining TTL in ms, 1 if AWS did not know the session or 0}.
--
-- The lease is granted if it is free, if the claimer has it, or if the claimer would read while
-- another replica only queues.

local result = redis.call('GET', KEYS[1])
if result then return {2, result, 0, 0} end
local status = redis.call('GET', KEYS[2])
local ttl = status and redis.call('PTTL', KEYS[2]) or 0
local unknown = redis.call('GET', KEYS[4]) and 1 or 0
if ARGV[2] == '0' then return {0, status, ttl, unknown} end
local holder = redis.call('GET', KEYS[3])
local only_queues = holder and ARGV[3] == 'r' and string.sub(holder, 1, 1) == 'w'
if holder and string.sub(holder, 2) ~= ARGV[1] and not only_queues then return {0, status, ttl, unknown} end
redis.call('SET', KEYS[3], ARGV[3] .. ARGV[1], 'PX', ARGV[2])
return {1, status, ttl, unknown}
