-- Where visitors are, and by whose network they come. Events from before have none.
ALTER TABLE events ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN city TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN network TEXT NOT NULL DEFAULT '';
