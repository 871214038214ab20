"""From footage to leads: decodes a video file, follows its faces, and proves the frames that a list of leads cites."""
