"""Studies meet prompts: the Matcher, scores, thresholds, ranking."""
