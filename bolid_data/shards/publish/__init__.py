"""`bolid publish`: hands the dataset on as a repository of the Hugging Face hub, with its card and Croissant."""
