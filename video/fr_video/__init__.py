"""From footage to leads: decodes a video file, follows its faces, and proves each frame that it used."""
