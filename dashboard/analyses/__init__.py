"""The pages' doors to the analyses, one for each page; cached, without torch."""
