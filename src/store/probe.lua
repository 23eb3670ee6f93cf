-- Runs every command that this service uses, so that a missing right or a read-only server is
-- detected at connection time.
--
-- KEYS: a key of its own.

local key = KEYS[1]
redis.call('SET', key, '1', 'PX', 1000)
redis.call('PING')
redis.call('PTTL', key)
redis.call('TIME')
redis.call('DEL', key)
redis.call('HSET', key, 'field', '1')
redis.call('HMGET', key, 'field')
redis.call('PEXPIRE', key, 1000)
redis.call('DEL', key)
return redis.call('GET', key)
