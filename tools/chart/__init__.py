"""The Helm chart's generated files: its README's table, its facts about the models, the dashboard."""
