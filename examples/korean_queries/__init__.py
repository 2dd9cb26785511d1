"""Ten Korean queries, and what they find among the test recipes: a look at what a model understands."""
