-- The order in which accounts are compared.
CREATE INDEX account_member_id_idx ON account (member_id, membership_id);
