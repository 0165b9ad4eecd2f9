-- Answers the position and the id of the newest event, and the records of all subscriptions at that moment.

return { call('HMGET', STATE, 'position', 'id'), call('HVALS', SUBS) }
