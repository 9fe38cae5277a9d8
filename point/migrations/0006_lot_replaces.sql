-- The lots that replace one: an earning whose lot has expired is taken back out of them.
CREATE INDEX lot_replaces_idx ON lot (replaces) WHERE replaces IS NOT NULL;
