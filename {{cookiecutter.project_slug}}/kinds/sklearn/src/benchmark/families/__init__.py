"""One file a model family. A new family, or an edit of one, leaves the results of the others."""
