-- Points that expire on one day are told of together. For those that end with their day, as they do by default, nothing changes.
COMMENT ON COLUMN expiry_notice.expires_at IS 'When the day in Seoul ends on which the points expire.';
