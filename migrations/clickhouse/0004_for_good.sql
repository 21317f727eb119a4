-- What is deleted is to be gone from the disk, and soon: a statement that deleted it
-- names whom it was about, so it goes once the next is done (0 would keep all); and parts
-- that were written anew go after a minute and not after eight, which is safe where a
-- merged part is on the disk before it is used.
ALTER TABLE events {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE syncs {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE matches {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE credit_sets {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE touches {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE identities {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE series_events {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
ALTER TABLE series_syncs {on_cluster} MODIFY SETTING finished_mutations_to_keep = 1, old_parts_lifetime = 60, min_rows_to_fsync_after_merge = 1;
