-- Whose a visitor is, where that is not himself alone; an empty profile says that he
-- stands for himself again, and keeps an older version from coming back.
CREATE TABLE identities (
  visitor_id TEXT    NOT NULL,
  pixel_id   TEXT    NOT NULL,
  profile_id TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  PRIMARY KEY (visitor_id, pixel_id)
) WITHOUT ROWID;

CREATE INDEX identities_by_profile ON identities (profile_id, pixel_id) WHERE profile_id <> '';
