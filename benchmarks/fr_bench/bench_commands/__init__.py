"""The commands of `fr bench`, a file for each; `options` are those of several, `telling` prints what came out."""
