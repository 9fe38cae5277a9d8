-- The page of a memberId in two halves, each as new as its own topic has told. The page shows the balance only
-- where both halves are of the same membership.
CREATE TABLE page (
    member_id bigint PRIMARY KEY,
    -- The member half. Its data is NULL once withdrawn: the version stays, so that nothing late brings it back.
    member_membership_id uuid,
    member_version bigint NOT NULL DEFAULT 0,
    phone_no text,
    nickname text,
    member_status text,
    -- The point half.
    point_membership_id uuid,
    point_version bigint NOT NULL DEFAULT 0,
    remain_point bigint NOT NULL DEFAULT 0,
    CHECK ((phone_no IS NULL) = (nickname IS NULL) AND (phone_no IS NULL) = (member_status IS NULL))
)
WITH (fillfactor = 70);

GRANT SELECT, INSERT, UPDATE ON page TO mypage_app;
