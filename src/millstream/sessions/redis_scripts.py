"""What a journal asks of Redis, as the scripts that do it there: each is one step, whatever other gateways do.

Keys, all after one base: ``stream:K`` (hash: what is known of stream K), ``entries:K`` (list), ``names`` (sorted set of
all, in the order of their names), ``open`` (those not sealed, by the end of their lease), ``sealed`` (by age),
``expiry`` (by the moment), ``size`` (bytes of all entries), ``number`` (of streams ever made). Changes of K are
published on ``news:K``: its last number and whether it is sealed, or nothing if it is gone.

Arguments begin with a stream's key and the time. An answer's first word says what came of it.
"""

from __future__ import annotations

from millstream.sessions.redis_line import Script

_COMMON = """
local base, key, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
local function forget(k)
    local size = redis.call('HGET', base .. 'stream:' .. k, 'size')
    redis.call('UNLINK', base .. 'stream:' .. k, base .. 'entries:' .. k)
    for _, set in ipairs({'names', 'open', 'sealed', 'expiry'}) do redis.call('ZREM', base .. set, k) end
    if size then redis.call('DECRBY', base .. 'size', size) end
    redis.call('PUBLISH', base .. 'news:' .. k, '')
    return size and 1 or 0
end
local function find(k)
    local f = redis.call('HMGET', base .. 'stream:' .. k,
        'first', 'last', 'size', 'sealed', 'about', 'created', 'expires', 'leased', 'number')
    if not f[1] or tonumber(f[7]) <= now then return nil end
    -- A server that was told to evict keys may have taken the entries and left the rest.
    if redis.call('LLEN', base .. 'entries:' .. k) ~= f[2] - f[1] + 1 then return nil end
    return f
end
"""

CREATE = Script(
    _COMMON
    + """
local expires, about = ARGV[3], ARGV[4]
if find(key) then return {'there'} end
local number = redis.call('INCR', base .. 'number')  -- first: this is what a full server refuses
forget(key)
for _, k in ipairs(redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', ARGV[2], 'LIMIT', 0, 100)) do forget(k) end
redis.call('HSET', base .. 'stream:' .. key, 'first', 1, 'last', 0, 'size', 0, 'sealed', 0, 'about', about,
    'created', ARGV[2], 'expires', expires, 'leased', 0, 'number', number)
redis.call('ZADD', base .. 'names', 0, key)
redis.call('ZADD', base .. 'open', 0, key)
redis.call('ZADD', base .. 'expiry', expires, key)
return {'made'}
"""
)

APPEND = Script(
    _COMMON
    + """
local most, writer, turn, expected, seal = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
local changed, about, FROM = ARGV[8] == '1', ARGV[9], 10
local head, body = base .. 'stream:' .. key, base .. 'entries:' .. key
local f = find(key)
if not f then return {'gone'} end
local last = tonumber(f[2])
-- Asked again, because the first answer got lost; or long ago, by one that has given up since.
local done = redis.call('HGET', head, 'writer:' .. writer)
if done then
    local its, its_last = string.match(done, '(%d+) (%d+)')
    if tonumber(its) >= turn then return {'last', tonumber(its_last)} end
end
if f[4] == '1' then return {seal and 'last' or 'sealed', last} end
if expected ~= '' and tonumber(expected) ~= last then return {'conflict', last} end
local grown = 0
for at = FROM, #ARGV, 4000 do
    redis.call('RPUSH', body, unpack(ARGV, at, math.min(at + 3999, #ARGV)))
end
for at = FROM, #ARGV do grown = grown + #ARGV[at] end
last = last + #ARGV - FROM + 1
redis.call('HSET', head, 'last', last, 'size', f[3] + grown, 'writer:' .. writer, ARGV[5] .. ' ' .. last)
if changed then redis.call('HSET', head, 'about', about) end
if seal then
    redis.call('HSET', head, 'sealed', 1, 'leased', 0)
    redis.call('ZREM', base .. 'open', key)
    redis.call('ZADD', base .. 'sealed', f[9], key)
end
local total = redis.call('INCRBY', base .. 'size', grown)
while total > most do
    local oldest = redis.call('ZRANGE', base .. 'sealed', 0, 1)
    local k = oldest[1] ~= key and oldest[1] or oldest[2]
    if not k then break end
    forget(k)
    total = tonumber(redis.call('GET', base .. 'size'))
end
if total > most then  -- its own oldest entries, all but the last; some more, not to come again at once
    local wanted, freed, count, some = total - most + math.floor(most / 32), 0, 0, 1
    local length = last - f[1] + 1
    while freed < wanted and count < length - 1 do
        for _, entry in ipairs(redis.call('LRANGE', body, count, math.min(count + some, length - 1) - 1)) do
            if freed >= wanted then break end
            freed, count = freed + #entry, count + 1
        end
        some = math.min(some * 2, 1024)
    end
    redis.call('LTRIM', body, count, -1)
    redis.call('HSET', head, 'first', f[1] + count, 'size', f[3] + grown - freed)
    redis.call('DECRBY', base .. 'size', freed)
end
redis.call('PUBLISH', base .. 'news:' .. key, last .. ' ' .. (seal and 1 or 0))
return {'last', last}
"""
)

READ = Script(
    _COMMON
    + """
local after, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local f = find(key)
if not f then return {'gone'} end
local first, last = tonumber(f[1]), tonumber(f[2])
if after > last then return {'beyond', last} end
if after + 1 < first then return {'trimmed', first} end
local found, size, place, full, some = {}, 0, after + 1 - first, false, 1
while not full and place <= last - first do
    for _, entry in ipairs(redis.call('LRANGE', base .. 'entries:' .. key, place, place + some - 1)) do
        full = #found > 0 and size + #entry > most
        if full then break end
        found[#found + 1] = entry
        size, place = size + #entry, place + 1
    end
    some = math.min(some * 2, 1024)  -- entries may be large: never look at many more than are wanted
end
return {'read', (f[4] == '1' and not full) and 1 or 0, found}
"""
)

INFO = Script(
    _COMMON
    + """
local f = find(key)
if not f then return {'gone'} end
return {'info', key, unpack(f, 1, 8)}
"""
)

LEASE = Script(
    _COMMON
    + """
local holder, ends = ARGV[3], ARGV[4]
local f = find(key)
if not f then return {'gone'} end
local head = base .. 'stream:' .. key
if tonumber(f[8]) > now and redis.call('HGET', head, 'holder') ~= holder then return {'held'} end
redis.call('HSET', head, 'holder', holder, 'leased', ends)
if f[4] == '0' then redis.call('ZADD', base .. 'open', ends, key) end
return {'leased'}
"""
)

KEEP = Script(
    _COMMON
    + """
if not find(key) then return {'gone'} end
redis.call('HSET', base .. 'stream:' .. key, 'expires', ARGV[3])
redis.call('ZADD', base .. 'expiry', ARGV[3], key)
return {'kept'}
"""
)

DELETE = Script(_COMMON + "return {'deleted', forget(key)}\n")

ORPHANS = Script(
    _COMMON
    + """
local prefix, found = key, {'info'}
for _, k in ipairs(redis.call('ZRANGEBYSCORE', base .. 'open', '-inf', ARGV[2])) do
    if string.sub(k, 1, #prefix) == prefix then
        local f = find(k)
        if f then found[#found + 1] = {k, unpack(f, 1, 8)} end
    end
end
return found
"""
)

LIST = Script(
    _COMMON
    + """
local prefix, from, found, name = key, ARGV[3], {'info'}, ''
for _, k in ipairs(redis.call('ZRANGEBYLEX', base .. 'names', from, '(' .. prefix .. '\\255', 'LIMIT', 0, 500)) do
    local f = find(k)
    if f then found[#found + 1] = {k, unpack(f, 1, 9)} end
    name = k
end
return {found, name}
"""
)
"""A page of them in the order of their names, beginning ``from`` as ``ZRANGEBYLEX`` has it; and the last name."""
