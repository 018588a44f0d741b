"""The command line: thin verbs over plain functions. Nothing heavy is imported before a verb runs."""
