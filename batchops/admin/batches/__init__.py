"""The pages of batches and campaigns: lists, one batch, actions, the emergency pause."""
